import { Hono } from "hono";
import { ListQuery, page } from "../../shared/api.ts";
import { CreateEnrollment, Enrollment, EnrollmentCreated } from "../../shared/host.ts";
import type { Deps } from "../deps.ts";
import { createEnrollment, deleteEnrollment, getEnrollment, listEnrollments } from "../domain/hosts/enrollments.ts";
import { describeAnswer } from "./describe.ts";
import { body, query } from "./validate.ts";

export function enrollmentRoutes(deps: Deps) {
  return new Hono()
    .get("/", describeAnswer(200, page(Enrollment), "List enrolment tokens"), query(ListQuery), async (context) =>
      context.json(await listEnrollments(deps, context.req.valid("query"))),
    )
    .post(
      "/",
      describeAnswer(201, EnrollmentCreated, "Create an enrolment token"),
      body(CreateEnrollment),
      async (context) => context.json(await createEnrollment(deps, context.req.valid("json")), 201),
    )
    .get("/:id", describeAnswer(200, Enrollment, "Read an enrolment token's facts"), async (context) =>
      context.json(await getEnrollment(deps, context.req.param("id"))),
    )
    .delete("/:id", describeAnswer(204, null, "Revoke an enrolment token"), async (context) => {
      await deleteEnrollment(deps, context.req.param("id"));
      return context.body(null, 204);
    });
}
