"""What a model answers: multiple choice by log-likelihood, and greedy generation."""
