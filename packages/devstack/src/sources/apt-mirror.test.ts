import { expect, test } from "vitest";
import { mirrorInSources } from "./apt-mirror.js";

test.each([
  ["deb http://mirror.example/debian bookworm main\n", "http://mirror.example/debian"],
  [
    "# deb http://no.example/ bookworm main\ndeb [arch=amd64 signed-by=/k.gpg] http://b.example/d/ bookworm main",
    "http://b.example/d/",
  ],
  ["deb http://mirror.example/debian-security bookworm-security main\n", undefined],
  [
    "Types: deb\n# a comment\nURIs: http://c.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n",
    "http://c.example/debian",
  ],
  [
    "Types: deb-src\nURIs: http://src.example\nSuites: bookworm\n\nTypes: deb deb-src\nURIs: http://d.example http://e.example\nSuites: bookworm\n",
    "http://d.example",
  ],
  ["", undefined],
])("the mirror in %j is %s", (text, mirror) => {
  expect(mirrorInSources(text, "bookworm")).toBe(mirror);
});
