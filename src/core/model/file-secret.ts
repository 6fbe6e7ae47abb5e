/** What encrypts and opens a file of images: a password, or a key of 32 bytes. Never logged. */
export type FileSecret = { kind: 'password'; password: Buffer } | { kind: 'key'; key: Buffer };
