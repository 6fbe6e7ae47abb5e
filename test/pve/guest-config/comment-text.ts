/** A comment line's text: control characters, everything beyond ASCII, `:` and `%` are written as percent and two digits. */
export function encodeComment(text: string): string {
  return [...Buffer.from(text, 'utf8')]
    .map((byte) => {
      const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25 && byte !== 0x3a;
      return plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}

/** The text of a comment line; what is not UTF-8 after decoding becomes replacement characters. */
export function decodeComment(text: string): string {
  const bytes = Buffer.from(text, 'utf8').toString('latin1');
  const decoded = bytes.replaceAll(/%([0-9a-fA-F]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return Buffer.from(decoded, 'latin1').toString('utf8');
}
