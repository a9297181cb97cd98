import { defineConfig } from "drizzle-kit";

export default defineConfig({
  dialect: "turso",
  schema: ["./control/db/schema.ts", "./control/db/telling.ts", "./control/db/history.ts"],
  out: "./control/db/migrations",
});
