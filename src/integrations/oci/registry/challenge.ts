/** One authentication scheme that a server offers in WWW-Authenticate (RFC 9110, 11.6.1). */
export interface Challenge {
  /** In lower case: `basic`, `bearer`. */
  scheme: string;
  parameters: Record<string, string>;
}

const TOKEN = /^[!#$%&'*+.^_`|~\w-]+/;

/** Parses the values of WWW-Authenticate headers. A malformed part ends the list. */
export function parseChallenges(header: string | string[] | undefined): Challenge[] {
  const text = [header ?? []].flat().join(', ');
  const challenges: Challenge[] = [];
  let rest = text;
  while ((rest = rest.replace(/^[\s,]+/, '')) !== '') {
    const word = TOKEN.exec(rest)?.[0];
    if (word === undefined) break;
    rest = rest.slice(word.length);
    const equals = /^\s*=\s*/.exec(rest)?.[0];
    if (equals === undefined) {
      challenges.push({ scheme: word.toLowerCase(), parameters: {} });
      continue;
    }
    rest = rest.slice(equals.length);
    const value = /^"(?:[^"\\]|\\.)*"/.exec(rest)?.[0] ?? TOKEN.exec(rest)?.[0];
    const current = challenges.at(-1);
    if (value === undefined || !current) break;
    rest = rest.slice(value.length);
    current.parameters[word.toLowerCase()] = value.startsWith('"')
      ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1')
      : value;
  }
  return challenges;
}
