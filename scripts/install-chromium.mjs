// Installs Chromium for the browser tests (test/e2e/browser.test.ts) where there is none. Debian and Ubuntu, as root.
// Elsewhere: install Chromium or Chrome yourself and name it in BIMIP_CHROMIUM.
import { execFileSync } from "node:child_process";
import { accessSync, constants } from "node:fs";

const places = [process.env.BIMIP_CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"].filter(Boolean);
const found = places.find((place) => {
  try {
    accessSync(place, constants.X_OK);
    return true;
  } catch {
    return false;
  }
});

if (found !== undefined) {
  console.log(`${found} is there`);
} else {
  const apt = (...args) => execFileSync("apt-get", args, { stdio: "inherit" });
  process.env.DEBIAN_FRONTEND = "noninteractive";
  apt("update");
  apt("install", "--yes", "--no-install-recommends", "chromium");
  console.log("/usr/bin/chromium is installed");
}
