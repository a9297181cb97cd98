import { Hono } from "hono";
import { ListQuery, page } from "../../shared/api.ts";
import { ChangeChannel, Channel, ChannelCreated, CreateChannel, RotateSecret } from "../../shared/channel.ts";
import { Delivery } from "../../shared/event.ts";
import { Name } from "../../shared/ids.ts";
import type { Deps } from "../deps.ts";
import {
  changeChannel,
  createChannel,
  deleteChannel,
  getChannel,
  listChannels,
  rotateSecret,
  testChannel,
} from "../domain/notifications/channels.ts";
import { describeAnswer } from "./describe.ts";
import { body, requireEmptyBody, query } from "./validate.ts";

export function channelRoutes(deps: Deps) {
  return new Hono()
    .get(
      "/",
      describeAnswer(200, page(Channel), "List channels"),
      query(ListQuery.extend({ name: Name.optional() })),
      async (context) => context.json(await listChannels(deps, context.req.valid("query"))),
    )
    .post("/", describeAnswer(201, ChannelCreated, "Create a channel"), body(CreateChannel), async (context) =>
      context.json(await createChannel(deps, context.req.valid("json")), 201),
    )
    .get("/:id", describeAnswer(200, Channel, "Read a channel"), async (context) =>
      context.json(await getChannel(deps, context.req.param("id"))),
    )
    .patch("/:id", describeAnswer(200, Channel, "Change a channel"), body(ChangeChannel), async (context) =>
      context.json(await changeChannel(deps, context.req.param("id"), context.req.valid("json"))),
    )
    .delete("/:id", describeAnswer(204, null, "Delete a channel"), async (context) => {
      await deleteChannel(deps, context.req.param("id"));
      return context.body(null, 204);
    })
    .post(
      "/:id/rotate",
      describeAnswer(200, ChannelCreated, "Replace a webhook's signing secret"),
      body(RotateSecret),
      async (context) => context.json(await rotateSecret(deps, context.req.param("id"), context.req.valid("json"))),
    )
    .post("/:id/test", describeAnswer(202, Delivery, "Send channel.test"), requireEmptyBody, async (context) =>
      context.json(await testChannel(deps, context.req.param("id")), 202),
    );
}
