import type { ApiSchema, FoundMethod } from './api-schema.ts';
import { checkValue } from './check-value.ts';
import type { Problems } from './types.ts';

/** A request to the API and what it was answered, by whomever. */
export interface Exchange {
  /** Where it is from, for the reader of a finding. */
  source: string;
  method: string;
  /** Below `/api2/json`; may have a query. */
  path: string;
  /** What the body says, decoded. Absent: not recorded, and the request is not checked. */
  parameters?: Record<string, unknown>;
  status: number;
  /** What is under `data` in the answer's body. Absent: the body is no JSON, and the answer is not checked. */
  data?: unknown;
  /** What is under `errors` in the answer's body. */
  errors?: Record<string, string>;
}

/** Something that does not fit the schema. */
export interface Finding {
  source: string;
  /** The method and its template, `GET /nodes/{node}/lxc`, or the path where the schema has none. */
  api: string;
  side: 'request' | 'answer';
  /** The parameter or member, indexes left out: `[].vmid`. */
  place: string;
  problem: string;
}

/** What only the check of parameters against the schema says; any other refusal is of the method's own code. */
const OF_THE_SCHEMA =
  /^(property is (missing|not defined)|type check|value (does not match|must|may only)|value '.*' does not have|invalid format|missing property)/s;

/** Messages of one place and kind, to be compared: blanks at the end and what follows the first line are left out. */
function firstLine(problem: string): string {
  return (problem.split('\n')[0] ?? '').trim();
}

/**
 * Holds exchanges to the schema of a release: parameters that were accepted fit; of parameters that were refused with 400
 * the check finds what the answer names, in the same words, and nothing else; answers fit what the method returns. Proxmox
 * checks parameters after it knows who asks and before the method's own code, so 401 and 403 say nothing of parameters and
 * every 500 says that they fit.
 */
export function checkExchanges(schema: ApiSchema, exchanges: Iterable<Exchange>): Finding[] {
  const findings: Finding[] = [];
  for (const exchange of exchanges) {
    const [path = '', query = ''] = exchange.path.split('?');
    const found = schema.find(exchange.method, path);
    const api = `${exchange.method} ${found?.api.template ?? path}`;
    const add = (side: Finding['side'], place: string, problem: string): number =>
      findings.push({ source: exchange.source, api, side, place: place.replaceAll(/\[\d+\]/g, '[]'), problem });
    if (found === undefined) {
      if (exchange.status !== 501 && exchange.status !== 401) add('request', '', 'the schema has no such method');
      continue;
    }
    if (exchange.status === 501) add('answer', '', 'the schema has this method');
    const problems = requestProblems(found, new URLSearchParams(query), exchange.parameters);
    if (problems !== undefined) compareRefusal(exchange, problems, (place, problem) => add('request', place, problem));
    if (exchange.status >= 200 && exchange.status < 300 && 'data' in exchange)
      for (const [place, problem] of answerProblems(found, exchange.data)) add('answer', place, problem);
  }
  return findings;
}

function requestProblems(
  { api, pathParameters }: FoundMethod,
  query: URLSearchParams,
  body: Record<string, unknown> | undefined,
): Problems | undefined {
  if (body === undefined) return undefined;
  const problems: Problems = new Map();
  const parameters = { ...pathParameters, ...Object.fromEntries(query), ...body };
  checkValue({ type: 'object', ...api.parameters }, parameters, '', problems);
  return problems;
}

function answerProblems({ api }: FoundMethod, data: unknown): Problems {
  const problems: Problems = new Map();
  if (api.returns !== undefined) checkValue(api.returns, data, '', problems, { answer: true });
  return problems;
}

function compareRefusal(exchange: Exchange, problems: Problems, add: (place: string, problem: string) => void): void {
  const { status } = exchange;
  if (status === 401 || status === 403 || status === 501) return;
  const refused = status === 400 ? (exchange.errors ?? {}) : {};
  for (const [place, problem] of problems)
    if (firstLine(refused[place] ?? '') !== firstLine(problem))
      add(place, `${firstLine(problem)}, which was ${status === 400 ? 'not named' : 'accepted'}`);
  for (const [place, problem] of Object.entries(refused))
    if (OF_THE_SCHEMA.test(problem) && !problems.has(place)) add(place, `refused: ${firstLine(problem)}`);
}

/** Findings for a reader: each once, with how often and where first. */
export function summarize(findings: readonly Finding[]): string[] {
  const sources = new Map<string, string[]>();
  for (const { api, side, place, problem, source } of findings) {
    const what = `${side} ${api} ${place}: ${problem}`;
    sources.set(what, [...(sources.get(what) ?? []), source]);
  }
  return [...sources].map(([what, from]) => `${what} (${from.length} times, first in ${from[0] ?? ''})`);
}
