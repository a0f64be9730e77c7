"""Live screens and sound: from the agents' connections to viewers' websockets on the odd port (R2.3, R4.4, R4.5).

Never opens an envelope, never decodes sound, and never lets a viewer hold up an agent.
"""
