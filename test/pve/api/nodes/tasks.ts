import { badParameters, fault, forbidden } from '../../http/api-error.ts';
import { listOf, elements, taskStatus, vmid } from '../params/formats.ts';
import { flag, integer, oneOf, text } from '../params/property.ts';
import { nameOf } from '../../state/access.ts';
import { parseUpid, type Task } from '../../state/tasks.ts';
import { Download, numberOf, Reply, textOf, type Call, type Method } from '../method.ts';

function owns({ who }: Call, task: Pick<Task, 'user'>): boolean {
  return task.user === nameOf(who) || (who.token === undefined && task.user.split('!')[0] === who.user);
}

/** The tasks that a caller may see: one's own, and all of nodes that one may audit. */
function visibleTasks(call: Call): Task[] {
  const { state, who } = call;
  return state.tasks
    .all()
    .filter((task) => owns(call, task) || state.access.allows(who, `/nodes/${task.node}`, ['Sys.Audit']));
}

function statusOf({ exit }: Task): string {
  if (exit === undefined) return 'unknown';
  if (exit === 'OK') return 'ok';
  return /^WARNINGS: \d+$/.test(exit) ? 'warning' : exit === 'unknown' ? 'unknown' : 'error';
}

function selected(call: Call): Task[] {
  const { node, params } = call;
  const source = textOf(call, 'source') || 'archive';
  const statuses = elements(params['statusfilter']).map((status) => status.toLowerCase());
  return visibleTasks(call).filter(
    (task) =>
      task.node === node &&
      (source === 'all' || (source === 'active') === (task.exit === undefined)) &&
      (numberOf(call, 'errors') === 0 || (task.exit !== undefined && statusOf(task) !== 'ok')) &&
      (statuses.length === 0 || (task.exit !== undefined && statuses.includes(statusOf(task)))) &&
      (params['typefilter'] === undefined || task.type === params['typefilter']) &&
      (params['vmid'] === undefined || task.id === String(params['vmid'])) &&
      (params['userfilter'] === undefined || task.user.includes(String(params['userfilter']))) &&
      (params['since'] === undefined || task.starttime >= Number(params['since'])) &&
      (params['until'] === undefined || task.starttime <= Number(params['until'])),
  );
}

/** Who a task is of; answers name the token of a user apart, but in lists of running tasks of a node. */
export function ownerOf(user: string): { user: string; tokenid?: string } {
  const [name = '', tokenid] = user.split('!');
  return tokenid === undefined ? { user: name } : { user: name, tokenid };
}

function entry({ upid, node, pid, pstart, starttime, type, id, user, endtime, exit }: Task): Record<string, unknown> {
  const ended =
    exit === undefined ? { user, status: 'RUNNING', saved: '0' } : { ...ownerOf(user), endtime, status: exit };
  return { upid, node, pid, pstart, starttime, type, id, ...ended };
}

function requireUpid(call: Call): string {
  const upid = textOf(call, 'upid');
  if (parseUpid(upid) === undefined) throw badParameters({ upid: 'unable to parse worker upid' });
  return upid;
}

function taskOf(call: Call, privilege: string): Task {
  const task = call.state.tasks.get(requireUpid(call));
  if (task?.node !== call.node) throw badParameters({ upid: 'no such task' });
  if (!owns(call, task)) {
    const path = `/nodes/${call.node}`;
    if (!call.state.access.allows(call.who, path, [privilege])) throw forbidden(`${path}, ${privilege}`);
  }
  return task;
}

function status({ exit, user, endtime: _endtime, log: _log, ...task }: Task): Record<string, unknown> {
  return {
    ...task,
    ...ownerOf(user),
    status: exit === undefined ? 'running' : 'stopped',
    ...(exit === undefined ? {} : { exitstatus: exit }),
  };
}

function logOf(call: Call): unknown {
  const { params } = call;
  const download = numberOf(call, 'download') === 1;
  if (download && (params['start'] !== undefined || params['limit'] !== undefined)) {
    throw fault("'download' cannot be used together with 'start' or 'limit' parameters");
  }
  const upid = requireUpid(call);
  const found = call.state.tasks.get(upid);
  if (found === undefined)
    return new Reply([{ n: 1, t: 'unable to open file - No such file or directory' }], { total: 1 });
  const task = taskOf(call, 'Sys.Audit');
  if (download) {
    const time = new Date(task.starttime * 1000).toISOString().replace(/\.\d+/, '');
    return new Download(task.log.map((line) => `${line}\n`).join(''), `task-${task.node}-${task.type}-${time}.log`);
  }
  const lines = task.log.length === 0 ? ['no content'] : task.log;
  const start = numberOf(call, 'start');
  const limit = Number(params['limit'] ?? 50) || Infinity;
  return new Reply(lines.map((t, index) => ({ n: index + 1, t })).slice(start, start + limit), { total: lines.length });
}

/** Tasks of a node: lists, states, logs, and their end. */
export const taskMethods: readonly Method[] = [
  {
    verb: 'GET',
    path: '/nodes/{node}/tasks',
    permission: 'all',
    parameters: {
      errors: flag,
      limit: integer(0),
      since: integer(),
      source: oneOf('archive', 'active', 'all'),
      start: integer(0),
      statusfilter: text({ format: listOf(taskStatus) }),
      typefilter: text(),
      until: integer(),
      userfilter: text(),
      vmid: integer(100, 999999999, { format: vmid }),
    },
    handle: (call) => {
      const tasks = selected(call);
      const start = numberOf(call, 'start');
      const limit = Number(call.params['limit'] ?? 50);
      // A list that is empty altogether has no total.
      return new Reply(tasks.slice(start, start + limit).map(entry), tasks.length === 0 ? {} : { total: tasks.length });
    },
  },
  {
    verb: 'GET',
    path: '/nodes/{node}/tasks/{upid}',
    permission: 'all',
    handle: () => ['log', 'status'].map((name) => ({ name })),
  },
  {
    verb: 'DELETE',
    path: '/nodes/{node}/tasks/{upid}',
    permission: 'all',
    protected: true,
    handle: async (call) => {
      await call.state.tasks.stop(taskOf(call, 'Sys.Modify').upid);
    },
  },
  {
    verb: 'GET',
    path: '/nodes/{node}/tasks/{upid}/status',
    permission: 'all',
    protected: true,
    handle: (call) => status(taskOf(call, 'Sys.Audit')),
  },
  {
    verb: 'GET',
    path: '/nodes/{node}/tasks/{upid}/log',
    permission: 'all',
    protected: true,
    parameters: { download: flag, limit: integer(0), start: integer(0) },
    handle: logOf,
  },
];
