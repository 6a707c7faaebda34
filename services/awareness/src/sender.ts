/** Who asked, as `from` of what others are told. */
export function senderOf({
  eid,
  device,
  node,
}: {
  readonly eid: string;
  readonly device: string;
  readonly node: string;
}) {
  return { eid, connectionResourceId: device, node };
}
