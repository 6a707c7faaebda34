import {
  EraseRequestSchema,
  EraseResponseSchema,
  FlowRequestSchema,
  FlowResponseSchema,
  HistoryRequestSchema,
  HistoryResponseSchema,
  ProgressRequestSchema,
  ProgressResponseSchema,
  PushStateRequestSchema,
  PushStateResponseSchema,
  ReceiptsRequestSchema,
  ReceiptsResponseSchema,
  ResumeRequestSchema,
  ResumeResponseSchema,
  SessionEventResSchema,
  SessionEventSchema,
  SubscriptionRequestSchema,
  SubscriptionResponseSchema,
  UnreadRequestSchema,
  UnreadResponseSchema,
} from "@bimip/protocol";
import { SUBJECTS } from "./names.js";

const { storage } = SUBJECTS;

/** The questions that services ask each other. */
export const PROCEDURES = {
  flow: { subject: SUBJECTS.flow, request: FlowRequestSchema, response: FlowResponseSchema },
  sessionEvent: { subject: SUBJECTS.sessionEvent, request: SessionEventSchema, response: SessionEventResSchema },
  resume: { subject: storage.resume, request: ResumeRequestSchema, response: ResumeResponseSchema },
  progress: { subject: storage.progress, request: ProgressRequestSchema, response: ProgressResponseSchema },
  receipts: { subject: storage.receipts, request: ReceiptsRequestSchema, response: ReceiptsResponseSchema },
  history: { subject: storage.history, request: HistoryRequestSchema, response: HistoryResponseSchema },
  unread: { subject: storage.unread, request: UnreadRequestSchema, response: UnreadResponseSchema },
  subscription: {
    subject: storage.subscription,
    request: SubscriptionRequestSchema,
    response: SubscriptionResponseSchema,
  },
  pushState: { subject: storage.pushState, request: PushStateRequestSchema, response: PushStateResponseSchema },
  erase: { subject: storage.erase, request: EraseRequestSchema, response: EraseResponseSchema },
} as const;
