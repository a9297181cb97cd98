import { once } from "node:events";
import { connect } from "node:net";
import { enrolFakeHost } from "../../support/fake-host.ts";
import { startNodeControl } from "../../support/node-control.ts";
import type { Dice } from "../../support/random.ts";
import { NO_SPARE, one, spoilBytes, spoilJson, spoilText } from "../mutation.ts";
import { mustHold, type Target } from "../target.ts";

/** Bytes over real sockets to a real control plane: requests and upgrades that are hardly any, and frames of a host. */
export const wireToControl: Target = {
  name: "wire-to-control",
  share: 1,
  casesPerRound: 500,
  async begin() {
    const control = await startNodeControl();
    const host = await enrolFakeHost(control, "fuzz");
    const token = await host.token();
    const { port } = new URL(control.url);
    const requests = requestsWith(token, control.adminToken);
    const isWell = async (): Promise<void> => {
      const { status } = await fetch(`${control.url}/healthz`);
      mustHold(status === 200, () => `GET /healthz answered ${status}`);
    };
    let count = 0;
    return {
      async play(dice) {
        const upgrade = one(dice, requests.slice(0, 2));
        const isUpgraded = dice.isLucky(0.4);
        const bytes = isUpgraded
          ? Buffer.concat([Buffer.from(upgrade), framesOf(dice)])
          : spoilBytes(dice, Buffer.from(spoilText(dice, one(dice, requests))));
        const said = await exchange(dice, Number(port), bytes);
        const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(said)?.[1] ?? 0);
        mustHold(status < 500, () => `${JSON.stringify(bytes.toString("latin1"))}\nanswered ${said.slice(0, 500)}`);
        if (++count % 50 === 0) await isWell();
      },
      async end() {
        await isWell();
        await control.stop();
      },
    };
  },
};

function requestsWith(token: string, admin: string): string[] {
  const upgrade = (path: string, more = ""): string =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: holdfast.v1\r\n${more}\r\n`;
  const body = '{"name":"a","scope":"read"}';
  return [
    upgrade("/agent/v1/socket"),
    upgrade("/agent/v1/socket", "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
    upgrade("/api/v1/hosts"),
    `GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`,
    `POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${admin}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    `POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${admin}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1b\r\n${body}\r\n0\r\n\r\n`,
  ];
}

const FRAMES: readonly unknown[] = [
  { type: "hello", protocol: 1, agentVersion: "0" },
  { type: "ping" },
  {
    type: "progress",
    run: "01936f0e-0000-7000-8000-000000000000",
    progress: { fraction: 0.5, at: "2026-11-23T08:00:00.000Z" },
  },
];

/** As a client masks them, some with what is no frame of any protocol. */
function framesOf(dice: Dice): Buffer {
  const frames = Array.from({ length: 1 + dice.below(4) }, () => {
    const good = one(dice, FRAMES);
    const text = dice.isLucky(0.4) ? JSON.stringify(good) : spoilJson(dice, good, NO_SPARE);
    const payload = Buffer.from(text).subarray(0, 60_000);
    const opcode = dice.isLucky(0.9) ? 0x81 : dice.below(256);
    const length =
      payload.length < 126 ? [0x80 | payload.length] : [0x80 | 126, payload.length >> 8, payload.length & 255];
    // The mask is zero: the payload goes as it is.
    return Buffer.concat([Buffer.from([opcode, ...length, 0, 0, 0, 0]), payload]);
  });
  const all = Buffer.concat(frames);
  return dice.isLucky(0.3) ? spoilBytes(dice, all) : all;
}

const QUIET_MS = 15;

/** Sends, and hears what comes back until it is quiet or over. */
async function exchange(dice: Dice, port: number, bytes: Buffer): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => undefined);
  let said = "";
  socket.setEncoding("latin1").on("data", (text: string) => (said += text));
  await once(socket, "connect");
  const closed = once(socket, "close");
  const at = dice.below(bytes.length + 1);
  socket.write(bytes.subarray(0, at));
  if (dice.isLucky(0.7)) socket.write(bytes.subarray(at));
  socket.setTimeout(QUIET_MS, () => (dice.isLucky(0.5) ? socket.destroy() : socket.resetAndDestroy()));
  await closed;
  return said;
}
