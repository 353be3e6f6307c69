"""The cases as people wrote them: requests, and what can be said of the answer beforehand."""
