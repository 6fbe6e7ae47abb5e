/** The AppArmor of this machine. */
export interface AppArmor {
  /** Whether the kernel confines by AppArmor. */
  enabled(): Promise<boolean>;

  /**
   * The name of the profile that containers have by default, loaded; undefined where nothing is installed that could load
   * it. @throws CriError UNAVAILABLE with the loader's words.
   */
  defaultProfile(): Promise<string | undefined>;

  /** Whether the kernel knows a profile. @throws CriError UNAVAILABLE when it cannot be told. */
  isLoaded(profile: string): Promise<boolean>;
}
