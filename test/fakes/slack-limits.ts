/**
 * Slack's documented limits of Block Kit (https://docs.slack.dev/reference/block-kit/blocks), and the undocumented one on
 * all blocks together (slackapi/bolt-js#2509), as a validator: every fault as a sentence, empty when Slack would take it.
 */

type Loose = Record<string, unknown>;
const isObject = (value: unknown): value is Loose =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const maxBlocks = 50;
const maxAllBlocks = 13_200;
const known: Record<string, Set<string>> = {
  header: new Set(['type', 'text', 'block_id', 'level']),
  section: new Set(['type', 'text', 'fields', 'accessory', 'block_id', 'expand']),
  context: new Set(['type', 'elements', 'block_id']),
  actions: new Set(['type', 'elements', 'block_id']),
  divider: new Set(['type', 'block_id']),
  image: new Set(['type', 'image_url', 'slack_file', 'alt_text', 'title', 'block_id']),
};

export function slackFaults(message: { text?: unknown; blocks?: unknown }): string[] {
  const faults: string[] = [];
  if (message.text !== undefined && (typeof message.text !== 'string' || message.text.length > 40_000)) {
    faults.push('text: a string of at most 40000 characters');
  }
  if (message.blocks === undefined) return faults;
  if (!Array.isArray(message.blocks)) return [...faults, 'blocks: must be an array'];
  if (message.blocks.length > maxBlocks) faults.push(`blocks: ${message.blocks.length} > ${maxBlocks}`);
  const size = JSON.stringify(message.blocks).length;
  if (size > maxAllBlocks) faults.push(`msg_blocks_too_long: ${size} > ${maxAllBlocks}`);
  const ids = message.blocks
    .map((block) => (isObject(block) ? block.block_id : undefined))
    .filter((id) => id !== undefined);
  if (new Set(ids).size !== ids.length) faults.push('blocks: block_id is not unique');
  message.blocks.forEach((block, index) => {
    checkBlock(block, `blocks[${index}]`, faults);
  });
  const actions = message.blocks.flatMap((block) =>
    isObject(block) && Array.isArray(block.elements) ? block.elements : [],
  );
  const actionIds = actions
    .filter(isObject)
    .map((element) => element.action_id)
    .filter((id) => id !== undefined);
  if (new Set(actionIds).size !== actionIds.length) faults.push('blocks: action_id is not unique');
  return faults;
}

function checkBlock(block: unknown, at: string, faults: string[]): void {
  if (!isObject(block) || typeof block.type !== 'string') {
    faults.push(`${at}: not a block`);
    return;
  }
  const keys = known[block.type];
  if (!keys) {
    faults.push(`${at}: unknown type ${block.type}`);
    return;
  }
  for (const key of Object.keys(block)) if (!keys.has(key)) faults.push(`${at}: unknown field ${key}`);
  if (typeof block.block_id === 'string' && block.block_id.length > 255) faults.push(`${at}.block_id: over 255`);
  switch (block.type) {
    case 'header':
      checkText(block.text, `${at}.text`, 150, ['plain_text'], faults);
      break;
    case 'section': {
      if (block.text === undefined && block.fields === undefined) faults.push(`${at}: text or fields is needed`);
      if (block.text !== undefined) checkText(block.text, `${at}.text`, 3000, ['plain_text', 'mrkdwn'], faults);
      if (block.fields !== undefined) {
        if (!Array.isArray(block.fields) || block.fields.length > 10) faults.push(`${at}.fields: at most 10`);
        else for (const field of block.fields) checkText(field, `${at}.fields`, 2000, ['plain_text', 'mrkdwn'], faults);
      }
      break;
    }
    case 'context':
      checkList(block.elements, `${at}.elements`, 10, faults, (element, where) => {
        if (isObject(element) && element.type === 'image') checkImage(element, where, faults);
        else checkText(element, where, 3000, ['plain_text', 'mrkdwn'], faults);
      });
      break;
    case 'actions':
      checkList(block.elements, `${at}.elements`, 25, faults, (element, where) => checkElement(element, where, faults));
      break;
    case 'image':
      checkImage(block, at, faults);
      break;
  }
}

function checkList(
  value: unknown,
  at: string,
  max: number,
  faults: string[],
  each: (element: unknown, at: string) => void,
): void {
  if (!Array.isArray(value) || value.length === 0 || value.length > max) {
    faults.push(`${at}: between 1 and ${max}`);
    return;
  }
  value.forEach((element, index) => {
    each(element, `${at}[${index}]`);
  });
}

function checkText(value: unknown, at: string, max: number, types: string[], faults: string[]): void {
  if (!isObject(value) || typeof value.type !== 'string' || !types.includes(value.type)) {
    faults.push(`${at}: must be ${types.join(' or ')}`);
    return;
  }
  if (typeof value.text !== 'string' || value.text.length < 1) faults.push(`${at}: empty`);
  else if (value.text.length > max) faults.push(`${at}: ${value.text.length} > ${max}`);
  if (value.emoji !== undefined && value.type !== 'plain_text') faults.push(`${at}: emoji is for plain_text`);
  if (value.verbatim !== undefined && value.type !== 'mrkdwn') faults.push(`${at}: verbatim is for mrkdwn`);
}

function checkImage(image: Loose, at: string, faults: string[]): void {
  if (typeof image.alt_text !== 'string' || image.alt_text.length > 2000)
    faults.push(`${at}.alt_text: needed, at most 2000`);
  if (typeof image.image_url !== 'string' && !isObject(image.slack_file)) faults.push(`${at}: image_url or slack_file`);
  if (typeof image.image_url === 'string' && image.image_url.length > 3000) faults.push(`${at}.image_url: over 3000`);
  if (image.title !== undefined) checkText(image.title, `${at}.title`, 2000, ['plain_text'], faults);
}

function checkElement(element: unknown, at: string, faults: string[]): void {
  if (!isObject(element)) {
    faults.push(`${at}: not an element`);
    return;
  }
  if (typeof element.action_id !== 'string' || element.action_id.length > 255)
    faults.push(`${at}.action_id: at most 255`);
  if (element.type === 'button') {
    checkText(element.text, `${at}.text`, 75, ['plain_text'], faults);
    if (element.value !== undefined && String(element.value).length > 2000) faults.push(`${at}.value: over 2000`);
    if (element.url !== undefined && String(element.url).length > 3000) faults.push(`${at}.url: over 3000`);
    if (element.style !== undefined && element.style !== 'primary' && element.style !== 'danger')
      faults.push(`${at}.style`);
  } else if (element.type === 'static_select') {
    if (element.placeholder !== undefined)
      checkText(element.placeholder, `${at}.placeholder`, 150, ['plain_text'], faults);
    checkList(element.options, `${at}.options`, 100, faults, (option, where) => {
      if (!isObject(option)) {
        faults.push(`${where}: not an option`);
        return;
      }
      checkText(option.text, `${where}.text`, 75, ['plain_text'], faults);
      if (typeof option.value !== 'string' || option.value.length > 150) faults.push(`${where}.value: at most 150`);
    });
  } else faults.push(`${at}: unknown element ${String(element.type)}`);
}
