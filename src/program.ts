import type { Handler } from './backends/handler.ts';
import { runCli } from './cli/main.ts';

/** Runs this process's command line, with the RuntimeClass handlers that `load` returns; sets the exit code. */
export async function runProgram(load: () => Promise<readonly Handler[]>): Promise<void> {
  process.exitCode = await runCli(process.argv.slice(2), {
    // The server's modules and the handlers load slowly, and no client needs them.
    serve: async (options) => (await import('./server.ts')).serve(await load(), options),
    wipe: async (config) => (await import('./wipe.ts')).wipe(await load(), config),
    examineProxmox: async (config) => (await import('./examine-proxmox.ts')).examineProxmox(config),
    examineRootfs: async (config) => (await import('./examine-rootfs.ts')).examineRootfs(config),
    rootfsNotes: async (config) => (await import('./examine-rootfs.ts')).rootfsNotes(config),
    proxmoxGrants: async (config, version) => (await import('./proxmox-grants.ts')).proxmoxGrants(config, version),
    bfcFiles: async () => (await import('./bfc-files/index.ts')).bfcFiles,
    declareHandlers: async () => {
      const [{ declareHandlers }, { declareVmidRanges }, { vmidRanges }, handlers] = await Promise.all([
        import('./core/config/handlers.ts'),
        import('./core/config/vmid-ranges.ts'),
        import('./backends/proxmox/guests/vmid-ranges.ts'),
        load(),
      ]);
      declareHandlers(handlers);
      declareVmidRanges(vmidRanges);
    },
  });
}
