import { expect, test } from "vitest";
import { testControl } from "../support/control.ts";

const TOO_MUCH = JSON.stringify({ padding: "x".repeat(8 * 1024 * 1024) });
const NOBODY = "01936f0e-0000-7000-8000-000000000000";

test("every route limits the size of a body, whoever sends it", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const routes = new Set(
    control.app.routes
      .filter(({ method }) => ["POST", "PUT", "PATCH"].includes(method))
      .map(({ method, path }) => `${method} ${path}`),
  );
  expect(routes.size).toBeGreaterThan(30);
  for (const route of routes) {
    const [method = "", path = ""] = route.split(" ");
    const asker = path.startsWith("/agent/") ? host : control.admin;
    const answer = await asker.send(method, path.replaceAll(":id", NOBODY), TOO_MUCH);
    expect({ route, status: answer.status, body: answer.body }).toMatchObject({
      route,
      status: 413,
      body: { error: { code: "request.too_large" } },
    });
  }
});
