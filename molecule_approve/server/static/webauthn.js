// The browser's own part of passkeys: makes one, has it sign, and says why it did not. What is signed is in statement.js.

const TIMEOUT = 120_000;
// ES256, EdDSA, RS256: what the server can check.
const ALGORITHMS = [-7, -8, -257];

/** Why a passkey did nothing. `isHere`: it is this browser that says so, and nothing was sent to the server. */
export class PasskeyError extends Error {
  isHere = true;
}

/** Bytes as base64url. */
export function base64url(bytes) {
  const text = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** What base64url made. */
export function bytesOf(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
}

/** Whether this browser has passkeys for this page: only over https://, and on this machine. */
export const isAble = () => globalThis.isSecureContext && "PublicKeyCredential" in globalThis;

const listed = (ids) => ids.map((id) => ({ type: "public-key", id: bytesOf(id) }));

// Browsers say little, so that no page learns what a person has or refused.
const SENTENCES = {
  NotAllowedError: "the passkey was not used: it was refused, took too long, or is not on this device",
  InvalidStateError: "this authenticator has a passkey for you already",
  AbortError: "the passkey was not used",
  SecurityError: "this page's address cannot have passkeys",
};

async function asked(asking) {
  try {
    return await asking;
  } catch (failure) {
    throw new PasskeyError(SENTENCES[failure.name] ?? `the browser refuses the passkey (${failure.name})`);
  }
}

/** Make a passkey; the fields of the call that enrols it, and its attestation in bytes. */
export async function make({ rp_id: host, user, name, known }, challenge) {
  const options = {
    rp: { id: host, name: "Molecule Approve" },
    user: { id: new TextEncoder().encode(user), name, displayName: name },
    challenge,
    pubKeyCredParams: ALGORITHMS.map((alg) => ({ type: "public-key", alg })),
    excludeCredentials: listed(known),
    authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
    attestation: "direct",
    timeout: TIMEOUT,
  };
  const { rawId, response } = await asked(navigator.credentials.create({ publicKey: options }));
  const made = {
    credential_id: base64url(rawId),
    client_data: base64url(response.clientDataJSON),
    attestation: base64url(response.attestationObject),
  };
  return { made, attestation: response.attestationObject };
}

/** Have one of these passkeys sign the challenge; the proof. `signal` ends the wait for it. */
export async function prove({ rp_id: host, ids }, challenge, signal) {
  const options = { rpId: host, challenge, allowCredentials: listed(ids), userVerification: "required", timeout: TIMEOUT };
  const { rawId, response } = await asked(navigator.credentials.get({ publicKey: options, signal }));
  return {
    kind: "passkey",
    credential_id: base64url(rawId),
    client_data: base64url(response.clientDataJSON),
    authenticator_data: base64url(response.authenticatorData),
    signature: base64url(response.signature),
  };
}
