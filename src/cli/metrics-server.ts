// `--metrics PORT`: the state of a run for Prometheus, on the loopback interface only. Serves what it was told last; the run tells it four times a second.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { UsageError } from '../host/errors.js';
import { prometheusText } from '../report/metrics-prometheus.js';
import type { TortureProgress } from '../torture/window.js';

const LOOPBACK = '127.0.0.1';
const MAX_PORT = 65_535;

export interface MetricsServer {
  url: string;
  update(progress: TortureProgress): void;
  close(): Promise<void>;
}

/** Starts the server; port 0 takes a free one. Throws UsageError when the port is none or is taken. */
export async function startMetrics(port: string): Promise<MetricsServer> {
  if (!/^\d{1,5}$/.test(port) || Number(port) > MAX_PORT) {
    throw new UsageError('--metrics', `--metrics ${port}: expected a port, 0 (any) to ${MAX_PORT}`);
  }
  let last: TortureProgress | undefined;
  const server = createServer((request, response) => {
    if (request.url !== '/metrics') {
      response.writeHead(404).end('see /metrics\n');
      return;
    }
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
    // Before the run has begun there is nothing to tell, which is a valid answer.
    response.end(last === undefined ? '' : prometheusText(last));
  });
  server.listen(Number(port), LOOPBACK);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new UsageError(
      '--metrics',
      `--metrics ${port}: ${(error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'another program has this port' : (error as Error).message}`,
    );
  }
  return {
    url: `http://${LOOPBACK}:${(server.address() as AddressInfo).port}/metrics`,
    update: (progress) => (last = progress),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
