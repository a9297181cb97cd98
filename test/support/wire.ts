import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** What becomes of what is said over the wire from now on. */
export type Weather =
  | { is: "clear" }
  /** Nobody is there: what is open is reset, and so is what comes. */
  | { is: "cut" }
  /** A router forgot us: everything is swallowed, and nobody is told. */
  | { is: "half-open" }
  | { is: "slow"; bytesPerSecond: number }
  /** A proxy that has no patience with who says nothing. */
  | { is: "impatient"; idleMs: number }
  /** Each connection is reset after so many bytes in that direction, wherever in a message that is. */
  | { is: "cutting"; side: Side; afterBytes: number }
  /** What comes waits in front, and the end of what was open is told to the other side late: when it is clear again. */
  | { is: "reordering" };

type Side = "asked" | "answered";

/** A wire between clients and one server on loopback, in a test's hands. */
export interface Wire {
  readonly url: string;
  become(weather: Weather): void;
  /** When each socket of an agent was asked for, by `performance.now()`. */
  readonly socketsAskedFor: readonly number[];
  end(): Promise<void>;
}

/** @param port where the server listens */
export async function layWire(port: number): Promise<Wire> {
  let weather: Weather = { is: "clear" };
  const lines = new Set<Line>();
  const socketsAskedFor: number[] = [];
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const line = openLine({ near, port, weather: () => weather });
    lines.add(line);
    near.once("data", (first: Buffer) => {
      line.isSocket = first.includes("/agent/v1/socket");
      if (line.isSocket) socketsAskedFor.push(performance.now());
      if (weather.is === "cut") line.reset();
    });
    line.over(() => lines.delete(line));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    socketsAskedFor,
    become(next) {
      weather = next;
      for (const line of lines) line.change();
    },
    end: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const line of lines) line.reset();
      }),
  };
}

interface Line {
  isSocket: boolean;
  /** The weather has changed. */
  change(): void;
  reset(): void;
  over(then: () => void): void;
}

const PIECES_PER_SECOND = 20;

function openLine({ near, port, weather }: { near: Socket; port: number; weather: () => Weather }): Line {
  const far = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const passed: Record<Side, number> = { asked: 0, answered: 0 };
  /** Since something was swallowed, nothing that comes after it makes sense. */
  let isDead = false;
  const waiting: (() => void)[] = [];
  let idle: NodeJS.Timeout | undefined;
  const reset = (): void => {
    clearTimeout(idle);
    near.resetAndDestroy();
    far.resetAndDestroy();
  };
  const pass = (side: Side, to: Socket, bytes: Buffer): void => {
    const now = weather();
    passed[side] += bytes.length;
    if (now.is === "cutting" && side === now.side && passed[side] > now.afterBytes) {
      const kept = bytes.subarray(0, Math.max(0, bytes.length - (passed[side] - now.afterBytes)));
      return void to.write(kept, reset);
    }
    to.write(bytes);
  };
  const carry = (side: Side, from: Socket, to: Socket): void => {
    from.on("data", (bytes: Buffer) => {
      clearTimeout(idle);
      const now = weather();
      if (now.is === "impatient") idle = setTimeout(reset, now.idleMs);
      if (now.is === "half-open") isDead = true;
      if (isDead) return;
      if (now.is === "reordering") return void waiting.push(() => pass(side, to, bytes));
      if (now.is !== "slow") return pass(side, to, bytes);
      from.pause();
      dribble(
        bytes,
        Math.ceil(now.bytesPerSecond / PIECES_PER_SECOND),
        (piece) => pass(side, to, piece),
        () => from.resume(),
      );
    });
    const end = (hangUp: () => void): void => {
      const { is } = weather();
      if (is === "half-open" || isDead) isDead = true;
      else if (is === "reordering") waiting.push(hangUp);
      else hangUp();
    };
    from.on("end", () => end(() => to.end()));
    from.on("error", () => end(() => to.resetAndDestroy()));
  };
  carry("asked", near, far);
  carry("answered", far, near);
  const line: Line = {
    isSocket: false,
    reset,
    change() {
      const { is } = weather();
      clearTimeout(idle);
      if (is === "cut") reset();
      // Whoever waits for an answer sends again and again what nobody took, and hears then that nobody knows of it.
      if (isDead && is !== "half-open" && !line.isSocket) reset();
      if (is !== "reordering") for (const late of waiting.splice(0)) late();
    },
    over: (then) => void far.once("close", () => near.destroyed && then()),
  };
  return line;
}

/** Hands on a piece at a time. */
function dribble(bytes: Buffer, size: number, hand: (piece: Buffer) => void, done: () => void): void {
  hand(bytes.subarray(0, size));
  if (bytes.length <= size) return done();
  setTimeout(() => dribble(bytes.subarray(size), size, hand, done), 1000 / PIECES_PER_SECOND);
}
