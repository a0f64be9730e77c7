"""What a rule would have matched, and the rules that there are.

Never decides by itself what matches: that is `infra.rules`, for the live processor and for this alike.
"""
