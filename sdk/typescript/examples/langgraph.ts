// LangChain and LangGraph: tools for an agent that signs up somewhere and needs the code.
import { tool } from "@langchain/core/tools";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { Posthouse } from "posthouse";
import { z } from "zod";

const client = await Posthouse.create();

const createAddress = tool(
  async ({ purpose }) => {
    const inbox = await client.createInbox({ displayName: purpose });
    return JSON.stringify({ inboxId: inbox.id, address: inbox.address });
  },
  {
    name: "create_address",
    description: "Makes an email address to sign up with.",
    schema: z.object({ purpose: z.string() }),
  },
);

const waitForCode = tool(
  async ({ inboxId, fromDomain }) => {
    const inbox = await client.getInbox(inboxId);
    // The service waits, and hands a code out once; this process may be restarted meanwhile.
    const expected = await inbox.expect({ kind: "code", fromDomain, timeoutSeconds: 600 });
    const { state, code } = await expected.wait({ timeout: 120_000 });
    return JSON.stringify({ state, code, expectationId: expected.id });
  },
  {
    name: "wait_for_code",
    description: "Waits for the verification code that a site mails.",
    schema: z.object({ inboxId: z.string(), fromDomain: z.string() }),
  },
);

/** A node of your graph. */
export const mailTools = new ToolNode([createAddress, waitForCode]);
