export const BUSYBOX = 'registry.k8s.io/e2e-test-images/busybox:1.37.0-2';
export const NGINX = 'registry.k8s.io/e2e-test-images/nginx:1.27.0-2';
const AGNHOST = 'registry.k8s.io/e2e-test-images/agnhost:2.66.1';

/** A pod that ends within two seconds of its removal. */
export function pod(name: string, spec: object, metadata: object = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', ...metadata },
    spec: { terminationGracePeriodSeconds: 2, ...spec },
  };
}

/** A container that runs a shell script of the busybox image. */
export function shell(name: string, script: string, more: object = {}): object {
  return { name, image: BUSYBOX, command: ['sh', '-c', script], ...more };
}

/** A container of agnhost, the image of Kubernetes' own tests. */
export function agnhost(name: string, args: string[], more: object = {}): object {
  return { name, image: AGNHOST, args, ...more };
}

/** Waits for signals, so that a pod ends at once. */
export const WAIT = 'trap "exit 0" TERM; while :; do sleep 1 & wait $!; done';
