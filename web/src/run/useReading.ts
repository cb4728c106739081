import { useCallback, useEffect, useState } from "react";
import { useRun } from "../stores/runStore";
import { type Failure, failureOf } from "./tell";

interface Reading<T> {
  /** What was read last; null until then. */
  value: T | null;
  /** Why the last try came to nothing. */
  failure: Failure | null;
  again(): void;
}

/** Read something from the server now, whenever `read` is another function, and when the server is back. */
export function useReading<T>(read: () => Promise<T>): Reading<T> {
  const isConnected = useRun((state) => state.connection === "connected");
  const [tries, setTries] = useState(0);
  const [{ value, failure }, set] = useState<Pick<Reading<T>, "value" | "failure">>({ value: null, failure: null });
  // biome-ignore lint/correctness/useExhaustiveDependencies: each of these is a reason to read again
  useEffect(() => {
    let isOld = false;
    read().then(
      (next) => !isOld && set({ value: next, failure: null }),
      (error: unknown) => !isOld && set((now) => ({ ...now, failure: failureOf(error) })),
    );
    return () => {
      isOld = true;
    };
  }, [read, isConnected, tries]);
  const again = useCallback(() => setTries((count) => count + 1), []);
  return { value, failure, again };
}
