import { createServer } from "node:net";

/**
 * A loopback port nobody listens on now, for programs that can't be told 0 because they must know their own address.
 */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === "string") reject(new Error("listening on 127.0.0.1 gave no port"));
        else resolve(address.port);
      });
    });
  });
}
