"""Acting: decisions and the ladder that says who may take which; policies and what they say of a request. All pure."""
