/** Whose token it is, as its claims say; undefined for what is not a JWT that names an account. Nothing is verified. */
export function tokenEid(token: string): string | undefined {
  try {
    const base64 = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof claims !== "object" || claims === null) return undefined;
    if ("eid" in claims && typeof claims.eid === "string") return claims.eid;
    return "sub" in claims && typeof claims.sub === "string" ? claims.sub : undefined;
  } catch {
    return undefined;
  }
}
