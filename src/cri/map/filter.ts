/** Whether `labels` has every pair of `selector` (CRI label_selector: equality only). */
export function matchesLabels(labels: Record<string, string>, selector: Record<string, string>): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}
