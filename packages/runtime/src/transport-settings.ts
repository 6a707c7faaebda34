import { z } from "zod";
import { choice, optionalText } from "./setting.js";

const file = (doc: string) => optionalText({ parse: z.string(), type: "file", doc });

/** TLS at the gateway, and how services get into NATS. */
export const transportSettings = {
  BIMIP_TLS_CERT_FILE: file(
    "Certificate chain (PEM) of the gateway, its own first: it speaks wss then. Read again when it changes, without a restart.",
  ),
  BIMIP_TLS_KEY_FILE: file("Private key (PEM) of that certificate, without a passphrase."),
  BIMIP_NATS_USER: optionalText({
    parse: z.string(),
    type: "text",
    doc: "User name at NATS, beside the password file.",
  }),
  BIMIP_NATS_PASSWORD_FILE: file("File with the password of that user."),
  BIMIP_NATS_NKEY_FILE: file("File with the nkey seed to log in to NATS with, instead of user and password."),
  BIMIP_NATS_CA_FILE: file("Certificates (PEM) that NATS's own must descend from. With it the connection must be TLS."),
  BIMIP_NATS_CERT_FILE: file("Client certificate (PEM) for NATS, where it asks for one."),
  BIMIP_NATS_KEY_FILE: file("Private key (PEM) of that certificate."),
  BIMIP_NATS_SYSTEM_USER: optionalText({
    parse: z.string(),
    type: "text",
    doc: "A user of NATS's system account who may only read: with it the self-check sees whether every server fsyncs.",
  }),
  BIMIP_NATS_SYSTEM_PASSWORD_FILE: file("File with the password of that user."),
  BIMIP_NATS_SYSTEM_NKEY_FILE: file("File with that user's nkey seed, instead of name and password."),
  BIMIP_NATS_SYNC: choice({
    of: ["any", "always"],
    default: "any",
    doc: "`always`: not ready unless every NATS server is seen to fsync before it acknowledges. Needs the system user.",
  }),
} as const;
