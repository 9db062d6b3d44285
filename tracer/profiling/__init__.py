"""Profiles of compiled functions: fused groups, what they move and compute, their times and limits."""

from tracer.profiling.groups import Group as Group
from tracer.profiling.measuring import Job as Job
from tracer.profiling.profile import Profile as Profile
from tracer.profiling.profile import profile_of as profile_of

__all__ = ["Group", "Job", "Profile", "profile_of"]
