// The silent ones, as a process of their own: what they cost themselves is not taken for what a login takes.
import { SilentCrowd, type SilentOrder } from "./silent-crowd.js";

let crowd: SilentCrowd | undefined;

process.on("message", (message: { order?: SilentOrder }) => {
  if (message.order !== undefined) crowd = new SilentCrowd(message.order);
  else process.send?.(crowd?.report());
});
process.on("disconnect", () => process.exit(0));
