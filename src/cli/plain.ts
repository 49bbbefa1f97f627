/** Names come from senders: for a terminal, without control characters, in one line and not too long. */
export const oneLine = (text: string, most = 200): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out
  text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').slice(0, most);

/** The same for Markdown: nothing in it is a cell's end, a link, a mention or HTML. */
export const inMarkdown = (text: string, most = 200): string => oneLine(text, most).replace(/[\\|<>`*_[\]@]/g, '\\$&');
