/** A request to `/mcp` whose sender is known. */
export interface McpRequest {
  /** Method and headers; its signal aborts when the client goes away. */
  request: Request
  /** The parsed body of a POST. */
  body: unknown
  /** The key that came with the request, with which its tools are run. */
  apiKey: string
  teamId: string
}

/** What answers MCP: it is given to the server, which does not know the protocol. */
export interface McpEndpoint {
  answer(request: McpRequest): Promise<Response>
}
