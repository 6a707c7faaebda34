import { FlowRequestSchema, FlowResponseSchema, SessionEventResSchema, SessionEventSchema } from "@bimip/protocol";
import { SUBJECTS } from "./names.js";

/** The questions that services ask each other. */
export const PROCEDURES = {
  flow: { subject: SUBJECTS.flow, request: FlowRequestSchema, response: FlowResponseSchema },
  sessionEvent: { subject: SUBJECTS.sessionEvent, request: SessionEventSchema, response: SessionEventResSchema },
} as const;
