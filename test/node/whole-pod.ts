import { agnhost, NGINX, shell, WAIT } from './pod-parts.ts';

/** Where the preStop hook of {@link wholePod} leaves its mark on the node. */
export const MARK = 'mark-of-prestop';

/**
 * A PodSpec with one of all that a kubelet sets up.
 * @param host a directory of the node; `hostPort` is a free port of it.
 * @param isStatic without a service account's token, which a static pod cannot have, and without agnhost.
 */
export function wholePod(host: string, hostPort: number, isStatic: boolean): object {
  const volumes = ['disk', 'memory', 'host', 'downward', ...(isStatic ? [] : ['token'])];
  const mounts = (...names: string[]) => names.map((name) => ({ name, mountPath: `/volumes/${name}` }));
  const probe = (action: object, more: object = {}) => ({ ...action, periodSeconds: 1, failureThreshold: 60, ...more });
  const grpc = agnhost('grpc', ['grpc-health-checking', '--port=5001', '--http-port=8081'], {
    readinessProbe: probe({ grpc: { port: 5001 } }),
  });
  const token = { path: 'token', audience: 'tests', expirationSeconds: 3600 };
  return {
    initContainers: [
      shell('init', 'echo from-init >/volumes/disk/init; echo all set >/dev/termination-log', {
        volumeMounts: mounts('disk'),
      }),
      shell('sidecar', WAIT, { restartPolicy: 'Always', startupProbe: probe({ exec: { command: ['true'] } }) }),
    ],
    containers: [
      {
        name: 'web',
        image: NGINX,
        ports: [{ containerPort: 80, hostPort }],
        startupProbe: probe({ tcpSocket: { port: 80 } }),
        readinessProbe: probe({ httpGet: { path: '/', port: 80 } }),
        livenessProbe: probe({ exec: { command: ['cat', '/volumes/disk/init'] } }, { timeoutSeconds: 60 }),
        resources: { limits: { cpu: '200m', memory: '128Mi' }, requests: { cpu: '50m', memory: '64Mi' } },
        lifecycle: {
          preStop: {
            exec: {
              command: [
                'sh',
                '-c',
                `{ cat /volumes/disk/init /volumes/downward/labels; echo; df -m /volumes/memory | tail -n 1; } >/volumes/host/${MARK}`,
              ],
            },
          },
        },
        volumeMounts: mounts(...volumes),
        env: [{ name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
      },
      ...(isStatic ? [] : [grpc]),
    ],
    volumes: [
      { name: 'disk', emptyDir: { sizeLimit: '64Mi' } },
      { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '8Mi' } },
      { name: 'host', hostPath: { path: host, type: 'DirectoryOrCreate' } },
      { name: 'downward', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
      { name: 'token', projected: { sources: [{ serviceAccountToken: token }] } },
    ].filter(({ name }) => volumes.includes(name)),
  };
}
