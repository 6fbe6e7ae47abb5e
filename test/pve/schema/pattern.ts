const compiled = new Map<string, RegExp>();

/** A Perl regular expression of the schema, anchored at both ends as Proxmox anchors it. */
export function patternOf(perl: string): RegExp {
  let pattern = compiled.get(perl);
  if (pattern === undefined) {
    // (?^i:…) says "these flags and no others"; (?>…) does not go back, which changes no verdict here; {,8} is {0,8}.
    const translated = perl
      .replaceAll(/\(\?\^([a-z]*):/g, (_, flags: string) => `(?${flags.replaceAll(/[^ims]/g, '')}:`)
      .replaceAll('(?>', '(?:')
      .replaceAll('{,', '{0,');
    pattern = new RegExp(`^(?:${translated})$`);
    compiled.set(perl, pattern);
  }
  return pattern;
}
