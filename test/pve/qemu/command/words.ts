/**
 * The words of a line as a shell splits them: quotes keep blanks together, a backslash takes the next character as it is.
 * @throws Error for a quote that does not end.
 */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let rest = line.trimStart();
  while (rest !== '') {
    const [word = ''] = /^(?:[^\s'"\\]|\\[^]|'[^']*'|"(?:[^"\\]|\\[^])*")+/.exec(rest) ?? [];
    if (word === '') throw new Error(`unable to split '${line}' into words`);
    words.push(
      word.replace(
        /'([^']*)'|"((?:[^"\\]|\\[^])*)"|\\([^])/g,
        (_, single?: string, double?: string, plain?: string) =>
          (single ?? double?.replace(/\\(["\\])/g, '$1') ?? plain)!,
      ),
    );
    rest = rest.slice(word.length).trimStart();
  }
  return words;
}
