// Local parts made of names, for `createSmartInbox`.

/** What nobody may have as an address. */
const RESERVED = new Set(
  (
    "admin postmaster hostmaster webmaster abuse noreply no-reply mailer-daemon support help info contact " +
    "security root www mail email lobster lobstermail billing sales api dev test null undefined"
  ).split(" "),
);

const MIN_LENGTH = 3;
const MAX_LENGTH = 64;
const NUMBERED = 5;

export interface VariationInput {
  /** Such as "Sarah Shield", "Mia" or "billing-bot". */
  name?: string;
  /** Told apart by this where the name is taken. */
  org?: string;
}

/** Makes a local part of any text; it may be empty, or not valid. */
export function sanitizeLocalPart(raw: string): string {
  const trimmed = raw
    .toLowerCase()
    .replace(/[\s_]+/g, "-")
    .replace(/[^a-z0-9._-]/g, "")
    .replace(/-{2,}/g, "-")
    .replace(/\.{2,}/g, ".")
    .replace(/^[._-]+|[._-]+$/g, "");
  return trimmed.slice(0, MAX_LENGTH).replace(/[._-]+$/, "");
}

/** Whether an inbox may have it. */
export function isValidLocalPart(localPart: string): boolean {
  return (
    localPart.length >= MIN_LENGTH &&
    localPart.length <= MAX_LENGTH &&
    /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/.test(localPart) &&
    !RESERVED.has(localPart)
  );
}

/**
 * Local parts to try in turn: the name, the name with the organisation, an initial with the last name, the
 * name with a number. Dots make no difference to the service, so none are tried.
 */
export function generateVariations({ name, org }: VariationInput): string[] {
  const parts = words(name ?? "");
  const [first] = parts;
  if (first === undefined) return [];
  const base = parts.join("-");
  const organisation = sanitizeLocalPart(words(org ?? "").join("-"));
  const candidates = [base];
  if (organisation) candidates.push(`${base}-${organisation}`);
  if (parts.length > 1) candidates.push(`${first.charAt(0)}-${parts[parts.length - 1]}`);
  for (let number = 1; number <= NUMBERED; number += 1) candidates.push(`${base}${number}`);
  return distinct(candidates);
}

/** Each that is valid, once. */
export function distinct(candidates: string[]): string[] {
  return [...new Set(candidates.map(sanitizeLocalPart))].filter(isValidLocalPart);
}

/** Split where there is a space, a dot, "_" or "-", else where upper case begins. */
function words(name: string): string[] {
  const trimmed = name.trim();
  const separated = /[\s._-]/.test(trimmed) ? trimmed : trimmed.replace(/([a-z])([A-Z])/g, "$1 $2");
  return separated.toLowerCase().split(/[\s._-]+/).filter(Boolean);
}
