"""LangChain and LangGraph: an agent that signs up somewhere and needs the code."""

from langchain_core.tools import tool
from langgraph.prebuilt import ToolNode

from posthouse import Posthouse

client = Posthouse.create()


@tool
def create_address(purpose: str) -> dict[str, str]:
    """Makes an email address to sign up with."""
    inbox = client.create_inbox(display_name=purpose)
    return {"inbox_id": inbox.id, "address": inbox.address}


@tool
def wait_for_code(inbox_id: str, from_domain: str) -> dict[str, str | None]:
    """Waits for the verification code that a site mails."""
    # The service waits, and hands a code out once; this process may be restarted meanwhile.
    expected = client.get_inbox(inbox_id).expect("code", from_domain=from_domain, timeout_seconds=600)
    settled = expected.wait(timeout=120)
    return {"state": settled.state, "code": settled.code}


mail_tools = ToolNode([create_address, wait_for_code])
"""A node of your graph."""
