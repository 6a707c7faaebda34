import { type NatsUser, type Permission, PERMISSIONS } from "./permissions.js";

/** The permissions as a Markdown table, for docs/security.md (the docs test compares them); ends with a line feed. */
export function permissionsTable(): string {
  const subjects = [...new Set(PERMISSIONS.map(({ subject }) => subject))];
  const rows = subjects.map((subject) => {
    const same = PERMISSIONS.filter((row) => row.subject === subject);
    const users = (of: (row: Permission) => readonly NatsUser[]): string => [...new Set(same.flatMap(of))].join(", ");
    const queue = same.find((row) => row.queue !== undefined)?.queue;
    const subscribe = users((row) => row.subscribe) + (queue === undefined ? "" : ` in queue \`${queue}\``);
    const why = [...new Set(same.map((row) => row.why))].join("; ");
    return `| \`${subject}\` | ${users((row) => row.publish)} | ${subscribe} | ${why} |`;
  });
  return ["| subject | may publish | may subscribe | what for |", "|---|---|---|---|", ...rows, ""].join("\n");
}
