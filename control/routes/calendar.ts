import { Hono } from "hono";
import { Forecast, forecast, ForecastQuery } from "../../shared/forecast.ts";
import type { Deps } from "../deps.ts";
import { describeAnswer } from "./describe.ts";
import { query } from "./validate.ts";

export function calendarRoutes(deps: Deps) {
  return new Hono().get(
    "/",
    describeAnswer(200, Forecast, "Compute the next times of a schedule"),
    query(ForecastQuery),
    (context) => context.json(forecast(context.req.valid("query"), deps.clock.now(), "UTC")),
  );
}
