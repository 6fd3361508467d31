//! Where handicap stones go by custom (GTP 2, section 4.1.1).

use super::point::{Point, Size};

/// The stones of a fixed handicap of `n`, 2 to 9, in the order in which they are added; none where custom has no places for it.
pub fn fixed(size: Size, n: usize) -> Option<Vec<Point>> {
    (2..=most(size)).contains(&n).then(|| places(size, n))
}

/// The largest fixed handicap on a board.
pub fn most(size: Size) -> usize {
    let (short, odd) = (size.w().min(size.h()), size.w() % 2 == 1 && size.h() % 2 == 1);
    match short {
        0..7 => 0,
        7 => 4,
        _ if odd => 9,
        _ => 4,
    }
}

fn places(size: Size, n: usize) -> Vec<Point> {
    // Fourth line on large boards, third on small ones.
    let edge = if size.w().min(size.h()) >= 13 { 3 } else { 2 };
    let (left, right, centre) = (edge, size.w() - 1 - edge, size.w() / 2);
    let (top, bottom, middle) = (edge, size.h() - 1 - edge, size.h() / 2);
    let corners = [(left, bottom), (right, top), (right, bottom), (left, top)];
    let sides = [(left, middle), (right, middle), (centre, bottom), (centre, top)];
    let mut places: Vec<(usize, usize)> = corners.into_iter().take(n).collect();
    if n > 4 {
        places.extend(sides.into_iter().take((n - 4) / 2 * 2));
        // An odd one out goes to the centre.
        if n % 2 == 1 {
            places.push((centre, middle));
        }
    }
    places.into_iter().map(|(x, y)| Point::new(x, y)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(len: usize, n: usize) -> String {
        let size = Size::square(len).unwrap();
        let names: Vec<String> = fixed(size, n).unwrap().into_iter().map(|p| p.gtp(size)).collect();
        names.join(" ")
    }

    #[test]
    fn stones_stand_where_custom_has_them() {
        assert_eq!(names(19, 2), "D4 Q16");
        assert_eq!(names(19, 5), "D4 Q16 Q4 D16 K10");
        assert_eq!(names(19, 8), "D4 Q16 Q4 D16 D10 Q10 K4 K16");
        assert_eq!(names(19, 9), "D4 Q16 Q4 D16 D10 Q10 K4 K16 K10");
        assert_eq!(names(9, 4), "C3 G7 G3 C7");
        for (len, n) in [(19, 1), (19, 10), (8, 5), (7, 5), (5, 2)] {
            assert!(fixed(Size::square(len).unwrap(), n).is_none(), "{len} {n}");
        }
    }
}
