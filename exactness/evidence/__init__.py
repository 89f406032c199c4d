"""Tests: batteries make evidence of draws, evidence adds up, and each test has a null distribution."""
