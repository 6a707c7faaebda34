/** What a stack tells about itself while it starts, runs and stops. */
export type StackEvent =
  | { readonly type: "progress"; readonly line: string }
  | { readonly type: "left-over"; readonly name: string; readonly pid: number }
  | { readonly type: "started"; readonly name: string; readonly pid: number; readonly logFile: string }
  | { readonly type: "ready"; readonly name: string; readonly pid: number; readonly tookMs: number }
  | { readonly type: "exited"; readonly name: string; readonly pid: number; readonly how: string }
  | { readonly type: "restarting"; readonly name: string; readonly delayMs: number }
  | { readonly type: "stopped"; readonly name: string };

/** One line for people. */
export function describeEvent(event: StackEvent): string {
  switch (event.type) {
    case "progress":
      return event.line;
    case "left-over":
      return `ended ${event.name} (pid ${event.pid}), left over from an earlier start`;
    case "started":
      return `${event.name} started (pid ${event.pid}), log in ${event.logFile}`;
    case "ready":
      return `${event.name} ready after ${event.tookMs} ms`;
    case "exited":
      return `${event.name} (pid ${event.pid}) ended with ${event.how}`;
    case "restarting":
      return `${event.name} starts again in ${event.delayMs} ms`;
    case "stopped":
      return `${event.name} stopped`;
    default:
      return event satisfies never;
  }
}
