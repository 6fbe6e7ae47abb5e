/** A metric as the text format describes it. */
export interface DescribedMetric {
  name: string;
  type: string;
  help: string;
}

/** Reads the HELP and TYPE lines of the text exposition format. */
export function describedMetrics(text: string): DescribedMetric[] {
  const helps = new Map([...text.matchAll(/^# HELP (\S+) (.*)$/gm)].map(([, name = '', help = '']) => [name, help]));
  return [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => ({
    ...{ name, type },
    help: helps.get(name) ?? '',
  }));
}

const UNITS = /_(s|ms|us|ns|sec|minutes|hours|days|b|kb|mb|gb|kib|mib|gib|byte|milliseconds)(_total)?$/;

/** The rules of `promtool check metrics` that these metrics could break. Returns the problems. */
export function lintMetrics(text: string): string[] {
  return describedMetrics(text).flatMap(({ name, type, help }) => {
    const problems: string[] = [];
    if (help === '') problems.push('has no help');
    if (type === 'counter' && !name.endsWith('_total')) problems.push('a counter must end in _total');
    if (type !== 'counter' && name.endsWith('_total')) problems.push(`a ${type} must not end in _total`);
    if (/[A-Z:]/.test(name)) problems.push('must be in snake_case');
    if (UNITS.test(name)) problems.push('must be in base units, written out');
    if (/_(count|sum|bucket|info_total)$/.test(name)) problems.push('has a suffix of histograms');
    if (new RegExp(`_(counter|gauge|histogram|summary)(_|$)`).test(name)) problems.push('must not name its type');
    return problems.map((problem) => `${name}: ${problem}`);
  });
}
