/** The AppArmor of this machine. */
export interface AppArmor {
  /** Whether AppArmor is enabled. */
  enabled(): Promise<boolean>;

  /**
   * The name of the loaded default profile of containers; undefined when no loader is installed. @throws CriError UNAVAILABLE
   * with the loader's message.
   */
  defaultProfile(): Promise<string | undefined>;

  /** Whether a profile is loaded. @throws CriError UNAVAILABLE when the list of profiles cannot be read. */
  isLoaded(profile: string): Promise<boolean>;
}
