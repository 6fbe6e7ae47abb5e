import type { Config } from '../../core/config/schema.ts';

/** What makes the kubelet of kubeadm, k3s and k0s use the server. */
export function joinLines({ grpc }: Config): string {
  const socket = grpc.listen;
  return [
    `kubeadm: kubeadm join --cri-socket ${socket} …`,
    `k3s:     k3s agent --container-runtime-endpoint ${socket} --server https://SERVER:6443 --token TOKEN`,
    `k0s:     k0s worker --cri-socket remote:${socket} --token-file FILE`,
  ]
    .map((line) => `${line}\n`)
    .join('');
}
