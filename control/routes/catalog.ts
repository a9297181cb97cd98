import { Hono } from "hono";
import { CatalogEntry, CatalogPage, CatalogQuery } from "../../shared/catalog.ts";
import { getCatalogEntry, listCatalog } from "../domain/contracts/catalog.ts";
import { describeAnswer } from "./describe.ts";
import { query } from "./validate.ts";

export function catalogRoutes() {
  return new Hono()
    .get("/", describeAnswer(200, CatalogPage, "List the services of the catalogue"), query(CatalogQuery), (context) =>
      context.json(listCatalog(context.req.valid("query"))),
    )
    .get("/:id", describeAnswer(200, CatalogEntry, "Read an entry of the catalogue, by its name"), (context) =>
      context.json(getCatalogEntry(context.req.param("id"))),
    );
}
