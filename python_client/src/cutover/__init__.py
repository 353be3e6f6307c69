"""Channels and operators for services behind Cutover."""
