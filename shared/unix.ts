import * as z from "zod";

/** A user's name; or the number of one that has a name on the host, as containers are run by. */
export const UserName = z
  .string()
  .regex(
    /^([A-Za-z_][A-Za-z0-9_.-]{0,63}\$?|0|[1-9][0-9]{0,9})$/,
    "must be the name of a Unix user on the host, or its number",
  );
export type UserName = z.infer<typeof UserName>;

/** A systemd unit that can be stopped and started. */
export const ServiceName = z
  .string()
  .regex(
    /^[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,200}\.(service|socket|timer|target|scope|path)$/,
    "must be a systemd unit with its ending, such as vaultwarden.service",
  );
export type ServiceName = z.infer<typeof ServiceName>;

/** A container of Docker or Podman, by name. */
export const ContainerName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/, "must be a container's name");
export type ContainerName = z.infer<typeof ContainerName>;
