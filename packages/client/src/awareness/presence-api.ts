import type { PresenceApi } from "./api.js";
import type { Peers } from "./peers.js";

/** What an application sees of it. */
export function presenceApi(peers: Peers): PresenceApi {
  const { store, own } = peers;
  return {
    get live() {
      return store.live;
    },
    get: (eid) => store.get(eid),
    all: () => store.all,
    set: (status, options = {}) => own.set(status, options),
    setStatus: (status, options = {}) => own.setStatus(status, options),
    clearStatus: () => own.clearStatus(),
    setVisibility: (visibility) => peers.visibility.set(visibility),
    shareLocation: (place, { to } = {}) => peers.shareLocation(place, to),
  };
}
