import type { ExecutionContext } from 'ava';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BuiltImage } from './image-builder.ts';

export interface ScriptedServer {
  /** `127.0.0.1:<port>`. */
  host: string;
  /** `METHOD path` of every request so far. */
  log: string[];
  /** Called before the image is served; returns true when it has answered. */
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
}

/** A registry on 127.0.0.1 that serves one image under every repository and tag, by default with ranges. */
export async function serve(t: Pick<ExecutionContext, 'teardown'>, image?: BuiltImage): Promise<ScriptedServer> {
  const scripted: ScriptedServer = { host: '', log: [], intercept: undefined };
  const server = createServer((request, response) => {
    scripted.log.push(`${request.method ?? ''} ${request.url ?? ''}`);
    response.on('error', () => undefined);
    if (scripted.intercept?.(request, response)) return;
    const [, kind, name = ''] = /\/(manifests|blobs)\/([^/?]+)$/.exec(request.url ?? '') ?? [];
    const document = kind === 'manifests' && !name.startsWith('sha256:') ? image?.index : image?.blobs.get(name);
    if (!document) {
      response
        .writeHead(404)
        .end(JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }] }));
      return;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (from > 0) response.setHeader('content-range', `bytes ${from}-${document.length - 1}/${document.length}`);
    response.writeHead(from > 0 ? 206 : 200).end(document.subarray(from));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  scripted.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return scripted;
}
