import { defineConfig } from "drizzle-kit";

export default defineConfig({
  dialect: "turso",
  schema: "./control/db/schema",
  out: "./control/db/migrations",
});
